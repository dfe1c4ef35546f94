import django.db.models.deletion
import instances.validators
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('instances', '0003_nothing_is_lost'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ApiToken',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('token_key', models.CharField(db_index=True, max_length=25)),
                ('created', models.DateTimeField(auto_now_add=True)),
                ('digest', models.CharField(editable=False, max_length=128, unique=True)),
                ('name', models.CharField(help_text='What it is for. The log names it with everything that is done with the token.', max_length=60, validators=[instances.validators.SingleLine()], verbose_name='name')),
                ('expiry', models.DateTimeField(blank=True, null=True, verbose_name='expires')),
                ('user', models.ForeignKey(limit_choices_to={'is_active': True, 'is_staff': True}, on_delete=django.db.models.deletion.CASCADE, related_name='auth_token_set', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'API token',
                'verbose_name_plural': 'API tokens',
                'ordering': ['-created', '-id'],
                'default_permissions': ('add', 'view', 'delete'),
                'constraints': [models.UniqueConstraint(fields=('user', 'name'), name='one_token_per_user_and_name')],
            },
        ),
    ]
